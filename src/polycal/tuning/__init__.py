"""From conversations and a base model to a tuned checkpoint."""
