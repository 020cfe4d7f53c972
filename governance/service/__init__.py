"""Service: published tables over HTTP, for whoever has a login.

In: `POST /v1/query` and `GET /v1/tables`, with a token of the configured issuer or an API key. Out: JSON, an Arrow
stream, or an error that is a code. Start reading at `app.py`; `login.py` says who asks, `jobs.py` runs the question,
`answers.py` writes what it gives. It decides nothing: `use.query.query` does.

Nothing is imported here, so that no other command loads a web server.
"""
