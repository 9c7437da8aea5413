"""The web service: worklist, study review, audit log and administration, one folder per page."""
