"""The predictor follows its labels: what is new is learnt on top of the champion, and a hold-out decides."""
