"""OpenPBS and PBS Pro: `client` starts its programs, `text` has what they are told and print."""
