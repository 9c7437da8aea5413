"""People: worklist, study review, audit and administration in the browser. One folder per screen."""
