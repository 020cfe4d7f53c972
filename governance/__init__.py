"""An open data-governance pipeline: collect, store, manage, develop, use.

Importing this package does nothing. Start reading at `governance.pipeline`, the only package that knows all five stages.
"""
