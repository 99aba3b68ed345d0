"""Read base models, conversations and questions from the Hub or from directories."""
