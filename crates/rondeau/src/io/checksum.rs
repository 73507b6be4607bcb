//! Cyclic redundancy checks of 32 bits: the one of zip archives and checkpoints, and the one of
//! TensorBoard's event files.

/// CRC-32 (IEEE 802.3), as zip and PNG have it.
pub(crate) fn crc32(bytes: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; 8] = tables(0xedb8_8320);
    crc(&TABLES, bytes)
}

/// CRC-32C (Castagnoli), as iSCSI and TFRecord have it.
pub(crate) fn crc32c(bytes: &[u8]) -> u32 {
    static TABLES: [[u32; 256]; 8] = tables(0x82f6_3b78);
    crc(&TABLES, bytes)
}

/// The effect of each byte, by how many bytes follow it in a group of eight.
const fn tables(polynomial: u32) -> [[u32; 256]; 8] {
    let mut tables = [[0; 256]; 8];
    let mut byte = 0;
    while byte < 256 {
        let mut value = byte as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ polynomial } else { value >> 1 };
            bit += 1;
        }
        tables[0][byte] = value;
        byte += 1;
    }
    let mut behind = 1;
    while behind < 8 {
        let mut byte = 0;
        while byte < 256 {
            let value = tables[behind - 1][byte];
            tables[behind][byte] = (value >> 8) ^ tables[0][(value & 0xff) as usize];
            byte += 1;
        }
        behind += 1;
    }
    tables
}

fn crc(tables: &[[u32; 256]; 8], bytes: &[u8]) -> u32 {
    let (groups, rest) = bytes.as_chunks::<8>();
    let mut crc = !0_u32;
    for group in groups {
        let folded = u64::from_le_bytes(*group) ^ u64::from(crc);
        let entry = |(i, byte): (usize, u8)| tables[7 - i][byte as usize];
        crc = folded.to_le_bytes().into_iter().enumerate().map(entry).fold(0, |a, b| a ^ b);
    }
    for &byte in rest {
        crc = (crc >> 8) ^ tables[0][((crc ^ u32::from(byte)) & 0xff) as usize];
    }
    !crc
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The definition, bit by bit.
    fn slow(polynomial: u32, bytes: &[u8]) -> u32 {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| {
                if crc & 1 == 1 { (crc >> 1) ^ polynomial } else { crc >> 1 }
            })
        };
        !bytes.iter().fold(!0, step)
    }

    #[test]
    fn known_answers() {
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!((crc32(b""), crc32c(b"")), (0, 0));
    }

    #[test]
    fn every_length_agrees_with_the_definition() {
        let bytes: Vec<u8> = (0..70_u32).map(|i| (i * i * 7 + 3) as u8).collect();
        for n in 0..bytes.len() {
            assert_eq!(crc32(&bytes[..n]), slow(0xedb8_8320, &bytes[..n]));
            assert_eq!(crc32c(&bytes[n..]), slow(0x82f6_3b78, &bytes[n..]));
        }
    }
}
