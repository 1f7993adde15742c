"""What is promised to who runs rostra in earnest: addresses that change, versions that follow each other."""
