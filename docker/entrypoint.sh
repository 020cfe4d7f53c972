#!/bin/sh
# Every service starts here: files it makes are shared with the group, never with the world.
set -eu
umask 0007
exec "$@"
