"""`--profile`: where a run's time and memory went, as a table, JSON, a trace and a picture."""
