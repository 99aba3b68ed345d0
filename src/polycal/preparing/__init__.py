"""From other people's files to questions, conversations and base models."""
