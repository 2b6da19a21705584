"""The routes of the server, and the JSON that goes through them."""
