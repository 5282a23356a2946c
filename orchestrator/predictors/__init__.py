"""Predictors over time: label sets, training, generations, evaluation."""
