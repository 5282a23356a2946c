"""What several tests share: fakes, synthetic label sets, a cluster rig, an S3 server."""
