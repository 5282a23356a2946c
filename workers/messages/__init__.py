"""What control plane and data plane say to each other: requests, reports, architectures, recipes. All immutable."""
