"""The end of a request: what is saved, which cookies the response sets, and how an outage is answered."""
