// SPDX-License-Identifier: Apache-2.0
pragma solidity 0.8.30;

/// Heads of append-only logs, in public and in order.
///
/// Whoever deploys the contract anchors; everybody may read. A log's size only grows: a head that was
/// anchored is never replaced by one of the same size or a smaller one, so that a log which was rolled
/// back, or shown to somebody else with other leaves, cannot be anchored again unnoticed. The root is
/// not looked into: that a head continues the one before it is for the log's proofs to show.
contract JetonAnchor {
    struct Head {
        uint64 size;
        uint64 number;
        uint64 time;
        bytes32 root;
        bytes32 note;
    }

    address public owner;
    mapping(bytes32 => Head) private heads;

    event Anchored(bytes32 indexed origin, uint64 indexed size, bytes32 root, bytes32 note);

    constructor() {
        owner = msg.sender;
    }

    /// Anchors the head of the log whose name has the SHA-256 `origin`: how many leaves it has, the
    /// root above them, and the SHA-256 of the signed checkpoint, byte for byte as it was served.
    function anchor(bytes32 origin, uint64 size, bytes32 root, bytes32 note) external {
        require(msg.sender == owner, "only the owner anchors");
        Head storage last = heads[origin];
        require(size > last.size, "size must grow");
        last.size = size;
        last.number = uint64(block.number);
        last.time = uint64(block.timestamp);
        last.root = root;
        last.note = note;
        emit Anchored(origin, size, root, note);
    }

    /// The last head of a log, and the block and time (in seconds since 1970) that it was anchored in;
    /// all zero if there is none.
    function head(bytes32 origin)
        external
        view
        returns (uint64 size, bytes32 root, bytes32 note, uint64 number, uint64 time)
    {
        Head storage last = heads[origin];
        return (last.size, last.root, last.note, last.number, last.time);
    }
}
