from tests.store.conftest import home  # noqa: F401
