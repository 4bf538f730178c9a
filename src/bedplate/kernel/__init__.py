"""What everything stands on: it imports nothing of Bedplate's other rooms, and knows no module."""
