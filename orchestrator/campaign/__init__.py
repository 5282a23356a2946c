"""Runs a campaign: a pure state machine decides, an executor acts, and `run_campaign` joins the two."""
