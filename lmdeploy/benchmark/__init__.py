"""`lmdeploy benchmark`: what a bundle costs and how right it is on this machine, in every way that it can run here."""
