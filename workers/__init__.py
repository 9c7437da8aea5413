"""Workers: run the jobs that analyze studies, create result objects and deliver them."""
