"""The gateway's side of `sk`: one file per noun, and two shared ones (client, output)."""
