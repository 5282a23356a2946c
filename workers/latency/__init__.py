"""Milliseconds that a network takes for a batch of images on this machine."""
