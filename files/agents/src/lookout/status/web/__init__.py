"""The page, the API and the webhook of heartbeats."""
