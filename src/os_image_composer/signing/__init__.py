"""Keys, and what is signed with them: EFI programs, UEFI variables, files of a build; and whether a signature holds.

Everything asks a `Signer` for its signature and hands it the bytes; where the private key is, only the signer knows. A
private key is never an argument of a program, never in an id, a log or the store. How the formats are read is for
`formats`; which files of an image are signed is for `image` and `provider`.
"""
