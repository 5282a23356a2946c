"""The control plane: campaigns, their configuration and the store of labels."""
