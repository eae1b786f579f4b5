"""What a release is made with: the lock file and the list of licences. Not in the wheel."""
