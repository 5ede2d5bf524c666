"""What a build will take, said before its first byte: sampled, encoded for real, with intervals."""
