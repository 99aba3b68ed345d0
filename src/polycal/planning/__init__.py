"""What a study consists of and costs, before it runs and while it does."""
