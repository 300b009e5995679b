"""What the web page and the service share: models on offer, counted requests, strangers refused, consent."""
