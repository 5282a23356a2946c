"""The control plane: campaigns, their configuration, the label store and the training of predictors."""
