"""Writes noise-xx-dissononce.json: handshakes and sealed messages by dissononce, a Noise implementation in Python.

    python3 -m venv venv && venv/bin/pip install dissononce==0.34.3
    venv/bin/python noise_xx_dissononce.py > noise-xx-dissononce.json

All keys are SHA-256 hashes of their names, so every run writes the same.
"""

import hashlib
import json

from dissononce.cipher.chachapoly import ChaChaPolyCipher
from dissononce.dh.x25519.private import PrivateKey
from dissononce.dh.x25519.x25519 import X25519DH
from dissononce.hash.sha256 import SHA256Hash
from dissononce.processing.handshakepatterns.interactive.XX import XXHandshakePattern
from dissononce.processing.impl.cipherstate import CipherState
from dissononce.processing.impl.handshakestate import HandshakeState
from dissononce.processing.impl.symmetricstate import SymmetricState


def key(name):
    return hashlib.sha256(name.encode()).digest()


class FixedDH(X25519DH):
    """Gives the one ephemeral key that it was made with."""

    def __init__(self, ephemeral):
        super().__init__()
        self._ephemeral = ephemeral

    def generate_keypair(self, privatekey=None):
        return super().generate_keypair(privatekey or PrivateKey(self._ephemeral))


def side(static, ephemeral, initiator):
    dh = FixedDH(ephemeral)
    state = HandshakeState(SymmetricState(CipherState(ChaChaPolyCipher()), SHA256Hash()), dh)
    state.initialize(XXHandshakePattern(), initiator, b"", s=dh.generate_keypair(PrivateKey(static)))
    return state


def run(name):
    keys = {f"{who}_{what}": key(f"{name} {who} {what}") for who in ("init", "resp") for what in ("static", "ephemeral")}
    initiator = side(keys["init_static"], keys["init_ephemeral"], True)
    responder = side(keys["resp_static"], keys["resp_ephemeral"], False)
    m1, m2, m3 = bytearray(), bytearray(), bytearray()
    initiator.write_message(b"", m1)
    responder.read_message(bytes(m1), bytearray())
    responder.write_message(b"", m2)
    initiator.read_message(bytes(m2), bytearray())
    ours = initiator.write_message(b"", m3)
    theirs = responder.read_message(bytes(m3), bytearray())
    said = lambda cipher, texts: [
        {"plain": text.hex(), "sealed": cipher.encrypt_with_ad(b"", text).hex()} for text in texts
    ]
    digest = initiator.symmetricstate.get_handshake_hash()
    assert digest == responder.symmetricstate.get_handshake_hash()
    out = {label: value.hex() for label, value in keys.items()}
    out.update(m1=m1.hex(), m2=m2.hex(), m3=m3.hex(), handshake_hash=digest.hex())
    out["from_initiator"] = said(ours[0], [b"\x01\x00\x02m1\x01\x02hi", b"", bytes(range(256))])
    out["from_responder"] = said(theirs[1], [b"\x03m1", b"\x02m1"])
    return out


print(json.dumps({"protocol": "Noise_XX_25519_ChaChaPoly_SHA256", "runs": [run(f"run {n}") for n in range(4)]}, indent=1))
