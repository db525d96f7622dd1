"""The restore drill: restore the newest backup into a scratch place, and judge it there."""
