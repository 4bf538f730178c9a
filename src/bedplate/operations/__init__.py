"""What is done to a whole database; modules are seen only through their manifests."""
