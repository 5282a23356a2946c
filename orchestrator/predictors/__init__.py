"""Predictors over time: label sets, training, generations, refreshes, evaluation."""
