"""What a client signs says what it is for, and fits one key and one connection."""

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from signaling.proofs import claim_bytes, proof_bytes, room_id, verify, verify_claim


def test_a_room_is_named_after_its_key() -> None:
    # sha256(32 zero bytes)[:16] in base32, computed with coreutils.
    assert room_id(bytes(32)) == "mzuhvlpymk6xo3epygfy5h4oea"
    assert room_id(bytes(32)) != room_id(bytes(31) + b"\x01")


def test_a_proof_is_good_for_one_nonce_and_one_key() -> None:
    key, stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    nonce = b"n" * 32
    proof = key.sign(proof_bytes(nonce))
    assert verify(public, nonce, proof)
    assert not verify(public, b"m" * 32, proof)
    assert not verify(stranger.public_key().public_bytes_raw(), nonce, proof)
    assert not verify(public, nonce, key.sign(nonce))
    assert not verify(public, nonce, bytes(64))
    assert not verify(bytes(31), nonce, proof)


def test_the_signed_bytes_say_what_they_are_for() -> None:
    assert proof_bytes(b"abc") == b"weft/1 enter\x00abc"
    assert claim_bytes(b"abc", b"def") == b"weft/1 resume\x00abcdef"


def test_a_claim_is_good_for_one_nonce_one_token_and_one_key() -> None:
    key, stranger = Ed25519PrivateKey.from_private_bytes(bytes(32)), Ed25519PrivateKey.generate()
    public = key.public_key().public_bytes_raw()
    nonce, token = b"n" * 32, b"t" * 32
    signature = key.sign(claim_bytes(nonce, token))
    assert verify_claim(public, nonce, token, signature)
    assert not verify_claim(public, b"m" * 32, token, signature)
    assert not verify_claim(public, nonce, b"u" * 32, signature)
    assert not verify_claim(stranger.public_key().public_bytes_raw(), nonce, token, signature)
    assert not verify_claim(public, nonce, token, key.sign(proof_bytes(nonce)))
    assert not verify_claim(bytes(32), nonce, token, signature)
