"""XEP-0066 and its neighbours: values, requests and offers."""
