"""The tree against published answers, against its definition, and what no proof may prove."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kielto import merkle
from kielto.merkle import MerklePart, Tree

# The leaves, roots and proofs with which Certificate Transparency's implementations are tested
# (google/certificate-transparency, merkle_tree_test.cc; transparency-dev/merkle, Apache-2.0).
ENTRIES = [
    bytes.fromhex(text)
    for text in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
]
ROOTS = [
    "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]
INCLUSION = [
    (0, 1, []),
    (
        0,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        5,
        8,
        [
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (2, 3, ["fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125"]),
    (
        1,
        5,
        [
            "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
CONSISTENCY = [
    (1, 1, []),
    (
        1,
        8,
        [
            "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
        ],
    ),
    (
        6,
        8,
        [
            "0ebc5d3437fbe2db158b9f126a1d118e308181031d0a949f8dededebc558ef6a",
            "ca854ea128ed050b41b35ffc1b87b8eb2bde461e9e3b5596ece6b9d5975a0ae0",
            "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
        ],
    ),
    (
        2,
        5,
        [
            "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
            "bc1a0643b12e4d2d7c77918f44e0f4f79a838b6cf9ec5b5c283e1f4d88599e6b",
        ],
    ),
]
LEAVES = [merkle.leaf_hash(entry) for entry in ENTRIES]
sizes = st.integers(1, 700)


def hashes(size: int) -> list[bytes]:
    return [merkle.leaf_hash(n.to_bytes(4)) for n in range(size)]


def by_definition(leaves: list[bytes]) -> bytes:
    """2.1.1 word by word."""
    if not leaves:
        return merkle.EMPTY
    if len(leaves) == 1:
        return leaves[0]
    k = 1
    while k * 2 < len(leaves):
        k *= 2
    return merkle.node_hash(by_definition(leaves[:k]), by_definition(leaves[k:]))


def proof(leaves: list[bytes], parts: list[MerklePart]) -> list[bytes]:
    return [by_definition(leaves[part.begin : part.end]) for part in parts]


def test_published_roots() -> None:
    assert [merkle.root(LEAVES[:n]).hex() for n in range(9)] == ROOTS


@pytest.mark.parametrize(("index", "size", "path"), INCLUSION)
def test_published_inclusion_proofs(index: int, size: int, path: list[str]) -> None:
    found = proof(LEAVES, merkle.inclusion(index, size))
    assert [hash_.hex() for hash_ in found] == path
    assert merkle.included(LEAVES[index], index, size, found, bytes.fromhex(ROOTS[size]))


@pytest.mark.parametrize(("old", "size", "path"), CONSISTENCY)
def test_published_consistency_proofs(old: int, size: int, path: list[str]) -> None:
    found = proof(LEAVES, merkle.consistency(old, size))
    assert [hash_.hex() for hash_ in found] == path
    roots = bytes.fromhex(ROOTS[old]), bytes.fromhex(ROOTS[size])
    assert merkle.consistent(old, roots[0], size, roots[1], found)


@given(sizes, st.data())
def test_a_tree_goes_on_from_its_edge(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(0, size))
    leaves = hashes(size)
    kept: dict[merkle.Node, bytes] = {}
    whole = Tree()
    for leaf in leaves:
        kept |= dict(whole.append(leaf))
    edge = [
        by_definition(leaves[node.place << node.height : (node.place + 1) << node.height])
        for node in merkle.nodes(MerklePart(0, old))
    ]
    tree = Tree(old, edge)
    completed: dict[merkle.Node, bytes] = {}
    for leaf in leaves[old:]:
        completed |= dict(tree.append(leaf))
    assert tree.root() == whole.root() == by_definition(leaves)
    assert tree.size == whole.size == size
    assert completed.items() <= kept.items()
    assert kept == {
        node: by_definition(leaves[node.place << 8 : (node.place + 1) << 8])
        for node in (merkle.Node(8, n) for n in range(size >> 8))
    }


@given(sizes, st.data())
def test_a_part_is_its_nodes(size: int, data: st.DataObject) -> None:
    leaves = hashes(size)
    index = data.draw(st.integers(0, size - 1))
    for part in [*merkle.inclusion(index, size), *merkle.consistency(index + 1, size)]:
        found = [
            by_definition(leaves[node.place << node.height : (node.place + 1) << node.height])
            for node in merkle.nodes(part)
        ]
        assert merkle.fold(found) == by_definition(leaves[part.begin : part.end])


@given(sizes, st.data())
def test_inclusion_is_proven_of_that_leaf_alone(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = hashes(size)
    path, root = proof(leaves, merkle.inclusion(index, size)), by_definition(leaves)
    assert merkle.included(leaves[index], index, size, path, root)
    other = data.draw(st.integers(0, size + 3).filter(lambda n: n != index))
    assert not merkle.included(leaves[index], other, size, path, root)
    assert not merkle.included(merkle.leaf_hash(b"else"), index, size, path, root)
    assert not merkle.included(leaves[index], index, size, [*path, root], root)
    if path:
        assert not merkle.included(leaves[index], index, size, path[:-1], root)
        beside = merkle.inclusion(index, size)[-1]
        half = by_definition(leaves[beside.end :] if beside.begin == 0 else leaves[: beside.begin])
        assert not merkle.included(leaves[index], index, size, path[:-1], half), "of half the tree only"


@given(sizes, st.data())
def test_consistency_is_proven_of_a_beginning_alone(size: int, data: st.DataObject) -> None:
    old = data.draw(st.integers(1, size))
    leaves = hashes(size)
    path, root, old_root = (
        proof(leaves, merkle.consistency(old, size)),
        by_definition(leaves),
        by_definition(leaves[:old]),
    )
    assert merkle.consistent(old, old_root, size, root, path)
    changed = [*leaves[: old - 1], merkle.leaf_hash(b"else")]
    assert not merkle.consistent(old, by_definition(changed), size, root, path)
    assert not merkle.consistent(old, old_root, size, merkle.leaf_hash(b"else"), path)
    assert not merkle.consistent(old, old_root, size, root, [*path, root])
    assert not path or not merkle.consistent(old, old_root, size, root, path[1:])
