"""Published weights: a catalogue, downloads, and the conversion of checkpoints to safetensors."""
