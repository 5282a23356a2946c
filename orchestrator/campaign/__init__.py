"""Run a campaign: a pure state machine decides, an executor acts, and `run_campaign` connects them."""
