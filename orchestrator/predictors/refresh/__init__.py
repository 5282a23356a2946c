"""Update the predictor on new labels: train a candidate from the champion, and promote it if a hold-out allows."""
