"""Releases by the pipeline: proposed by the `use` stage, published with a steward's signature."""

from __future__ import annotations

from governance.pipeline.context import Context
from governance.pipeline.events import after_commits
from governance.pipeline.ingest import actor_of
from governance.use import release


def propose_release(context: Context, run: str) -> str:
    """The id (hash) of the proposed release of every curated table as it stands now."""
    return release.propose(
        context.catalogue, database=context.database, lake=context.lake, actor=actor_of("use", "curated", run)
    )


def publish_release(context: Context, release_id: str, subject: str, signature: str, run: str) -> str:
    """Record the approval and make the release the live one; returns its id. Raises Refused when the signature does not count."""
    actor = actor_of("use", "curated", run)
    release.approve(
        release_id,
        subject=subject,
        signature=signature,
        catalogue=context.catalogue,
        database=context.database,
        actor=actor,
    )
    published = release.publish(
        release_id,
        catalogue=context.catalogue,
        settings=context.settings,
        database=context.database,
        lake=context.lake,
        actor=actor,
    )
    after_commits(context)
    return published.release
