"""Messages between control plane and data plane: requests, reports, architectures, recipes. All are immutable."""
