"""What providers tell about a mail after they took it: delivered, bounced, complained of."""
