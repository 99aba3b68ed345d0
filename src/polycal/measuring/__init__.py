"""One run and task: confidence, temperatures, bootstrap replicates, metrics."""
