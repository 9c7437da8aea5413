"""Liveness and readiness of the web service. No sign-in, no patient data."""
