"""Web pages and HTTP API of one home. Now: the report's pages and the catalogue as JSON; neither holds a cell value. Start at `app`."""
