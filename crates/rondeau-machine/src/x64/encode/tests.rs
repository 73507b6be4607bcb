//! Every instruction against another decoder.

use super::*;
use crate::twin::Rng;
use iced_x86::{Decoder, DecoderOptions, Instruction, Mnemonic, OpKind, Register};

fn decode(bytes: &[u8]) -> Instruction {
    let mut decoder = Decoder::with_ip(64, bytes, 0, DecoderOptions::NONE);
    let instruction = decoder.decode();
    assert!(!instruction.is_invalid(), "{bytes:02X?} is no instruction");
    instruction
}

/// The code that `emit` leaves, without the pool.
fn emitted(isa: Isa, emit: impl FnOnce(&mut Asm)) -> std::vec::Vec<u8> {
    let mut asm = Asm::new(isa);
    emit(&mut asm);
    let n = asm.len();
    asm.finish()[..n].to_vec()
}

fn mem(rng: &mut Rng) -> Mem {
    let base = Gpr(rng.below(16) as u8);
    let index = (rng.below(2) == 0).then(|| {
        loop {
            let index = Gpr(rng.below(16) as u8);
            if index != RSP {
                break (index, rng.below(4) as u8);
            }
        }
    });
    let disp = rng.pick(&[0, 1, 4, 64, 128, -64, -8, 4096, 8128, 1 << 20, 127, -128, 130]);
    Mem::At { base, index, disp }
}

fn check_mem(i: &Instruction, mem: Mem) {
    match mem {
        Mem::At { base, index, disp } => {
            assert_eq!(i.memory_base(), gpr(base));
            assert_eq!(i.memory_index(), index.map_or(Register::None, |i| gpr(i.0)));
            assert_eq!(i.memory_index_scale(), index.map_or(1, |i| 1 << i.1));
            assert_eq!(i.memory_displacement64() as i64, disp as i64);
        }
        Mem::Pool(_) => assert_eq!(i.memory_base(), Register::RIP),
    }
}

fn gpr(r: Gpr) -> Register {
    Register::RAX + r.0 as u32
}

fn register(v: Vec, width: Width) -> Register {
    let first = match width {
        Width::X => Register::XMM0,
        Width::Y => Register::YMM0,
        Width::Z => Register::ZMM0,
    };
    first + v.0 as u32
}

const BOTH: [Isa; 2] = [Isa::Vex, Isa::Evex];

fn three_operands() -> std::vec::Vec<(Op, Mnemonic, Isa)> {
    use Mnemonic::*;
    let mut all = vec![];
    for isa in BOTH {
        let mut add = |op, m| all.push((op, m, isa));
        for (f64, names) in [
            (false, [Vaddps, Vsubps, Vmulps, Vdivps, Vminps, Vmaxps]),
            (true, [Vaddpd, Vsubpd, Vmulpd, Vdivpd, Vminpd, Vmaxpd]),
        ] {
            let ops = [Op::add, Op::sub, Op::mul, Op::div, Op::min, Op::max];
            ops.iter().zip(names).for_each(|(op, name)| add(op(f64), name));
        }
        for (f64, names) in [
            (false, [Vfmadd213ps, Vfmadd231ps, Vfnmadd213ps, Vfnmadd231ps]),
            (true, [Vfmadd213pd, Vfmadd231pd, Vfnmadd213pd, Vfnmadd231pd]),
        ] {
            let ops = [Op::fma213, Op::fma231, Op::fnma213, Op::fnma231];
            ops.iter().zip(names).for_each(|(op, name)| add(op(f64), name));
        }
        for (op, name) in [
            (Op::ADD_D, Vpaddd),
            (Op::SUB_D, Vpsubd),
            (Op::MUL_D, Vpmulld),
            (Op::MIN_SD, Vpminsd),
            (Op::MAX_SD, Vpmaxsd),
            (Op::MIN_UD, Vpminud),
            (Op::MAX_UD, Vpmaxud),
            (Op::SLLV_D, Vpsllvd),
            (Op::SRLV_D, Vpsrlvd),
            (Op::SRAV_D, Vpsravd),
            (Op::add_int(false), Vpaddd),
            (Op::sub_int(true), Vpsubq),
            (Op::add_int(true), Vpaddq),
        ] {
            add(op, name);
        }
    }
    for (op, vex, evex) in [
        (Op::and(false), Vpand, Vpandd),
        (Op::andn(false), Vpandn, Vpandnd),
        (Op::or(false), Vpor, Vpord),
        (Op::xor(false), Vpxor, Vpxord),
        (Op::and(true), Vpand, Vpandq),
        (Op::xor(true), Vpxor, Vpxorq),
    ] {
        all.push((op, vex, Isa::Vex));
        all.push((op, evex, Isa::Evex));
    }
    all.push((Op::scalef(false), Vscalefps, Isa::Evex));
    all.push((Op::scalef(true), Vscalefpd, Isa::Evex));
    all.push((Op::blendm(false), Vblendmps, Isa::Evex));
    all.push((Op::blendm(true), Vblendmpd, Isa::Evex));
    all.push((Op::CMPEQ_D, Vpcmpeqd, Isa::Vex));
    all.push((Op::CMPGT_D, Vpcmpgtd, Isa::Vex));
    all
}

fn two_operands() -> std::vec::Vec<(Op, Mnemonic, Isa)> {
    use Mnemonic::*;
    let mut all = vec![];
    for isa in BOTH {
        all.extend([
            (Op::sqrt(false), Vsqrtps, isa),
            (Op::sqrt(true), Vsqrtpd, isa),
            (Op::load(false), Vmovups, isa),
            (Op::load(true), Vmovupd, isa),
            (Op::I32_TO_F32, Vcvtdq2ps, isa),
            (Op::F32_TO_I32, Vcvttps2dq, isa),
        ]);
    }
    all.push((Op::U32_TO_F32, Vcvtudq2ps, Isa::Evex));
    all
}

#[test]
fn vector_instructions_decode_to_themselves() {
    let mut rng = Rng(7);
    let two = two_operands();
    let all = three_operands().into_iter().map(|x| (x, false));
    for ((op, mnemonic, isa), is_two) in all.chain(two.into_iter().map(|x| (x, true))) {
        for _ in 0..40 {
            let n = if isa == Isa::Evex { 32 } else { 16 };
            let widths = [Width::X, Width::Y, Width::Z];
            let width = widths[rng.below(if isa == Isa::Evex { 3 } else { 2 })];
            let v = |rng: &mut Rng| Vec(rng.below(n) as u8);
            let (dst, a) = (v(&mut rng), v(&mut rng));
            let b = match rng.below(4) {
                0 | 1 => Rm::Reg(v(&mut rng)),
                2 if isa == Isa::Evex
                    && mnemonic != Mnemonic::Vmovups
                    && mnemonic != Mnemonic::Vmovupd =>
                {
                    Rm::Broadcast(mem(&mut rng))
                }
                _ => Rm::Mem(mem(&mut rng)),
            };
            let masked = isa == Isa::Evex && rng.below(3) == 0;
            let (mask, zero) = (Mask(1 + rng.below(7) as u8), rng.below(2) == 0);
            let bytes = emitted(isa, |asm| match (masked, is_two) {
                (true, _) => {
                    let a = if is_two { Vec(0) } else { a };
                    asm.op3_masked(op, width, dst, a, b, mask, zero);
                }
                (false, true) => asm.op2(op, width, dst, b),
                (false, false) => asm.op3(op, width, dst, a, b),
            });
            let i = decode(&bytes);
            assert_eq!((i.mnemonic(), i.len()), (mnemonic, bytes.len()), "{bytes:02X?}");
            assert_eq!(i.op_register(0), register(dst, width));
            if !is_two {
                assert_eq!(i.op_register(1), register(a, width));
            }
            let last = i.op_count() - 1;
            match b {
                Rm::Reg(r) => assert_eq!(i.op_register(last), register(r, width)),
                Rm::Mem(mem) | Rm::Broadcast(mem) => {
                    assert_eq!(i.op_kind(last), OpKind::Memory);
                    check_mem(&i, mem);
                    assert_eq!(i.is_broadcast(), matches!(b, Rm::Broadcast(_)));
                }
            }
            let expected = if masked { Register::K0 + mask.0 as u32 } else { Register::None };
            assert_eq!(i.op_mask(), expected);
            assert_eq!(i.zeroing_masking(), masked && zero);
        }
    }
}

#[test]
fn special_forms_decode_to_themselves() {
    let mut rng = Rng(9);
    for _ in 0..100 {
        let m = mem(&mut rng);
        let v = |rng: &mut Rng, isa| Vec(rng.below(if isa == Isa::Evex { 32 } else { 16 }) as u8);
        for isa in BOTH {
            let (dst, a, b) = (v(&mut rng, isa), v(&mut rng, isa), v(&mut rng, isa));
            let one = |emit: &dyn Fn(&mut Asm)| decode(&emitted(isa, |asm| emit(asm)));
            let i = one(&|asm| asm.op2(Op::broadcast(false), Width::Y, dst, Rm::Mem(m)));
            assert_eq!(
                (i.mnemonic(), i.op0_register()),
                (Mnemonic::Vbroadcastss, register(dst, Width::Y))
            );
            check_mem(&i, m);
            let i = one(&|asm| asm.op2(Op::broadcast(true), Width::Y, dst, Rm::Mem(m)));
            assert_eq!(i.mnemonic(), Mnemonic::Vbroadcastsd);
            check_mem(&i, m);
            for (half, vex, upper) in [
                (16, Mnemonic::Vextractf128, Mnemonic::Vextractf32x4),
                (8, Mnemonic::Vpshufd, Mnemonic::Vpshufd),
                (4, Mnemonic::Vpshufd, Mnemonic::Vpshufd),
            ] {
                let i = one(&|asm| asm.upper(half, dst, a));
                assert_eq!(i.mnemonic(), if isa == Isa::Evex { upper } else { vex });
                assert_eq!(i.op0_register(), register(dst, Width::X));
                let from = if half == 16 { Width::Y } else { Width::X };
                assert_eq!(i.op1_register(), register(a, from));
            }
            let i = one(&|asm| asm.store(Op::store_one(false), Width::X, m, a, NO_MASK));
            assert_eq!((i.mnemonic(), i.op1_register()), (Mnemonic::Vmovss, register(a, Width::X)));
            check_mem(&i, m);
            let i = one(&|asm| asm.store(Op::store_one(true), Width::X, m, a, NO_MASK));
            assert_eq!(i.mnemonic(), Mnemonic::Vmovsd);
            check_mem(&i, m);
            let i = one(&|asm| asm.op2(Op::BYTES_TO_LANES, Width::Y, dst, Rm::Mem(m)));
            assert_eq!(i.mnemonic(), Mnemonic::Vpmovzxbd);
            check_mem(&i, m);
            let i = one(&|asm| asm.store(Op::store(false), Width::Y, m, a, NO_MASK));
            assert_eq!(
                (i.mnemonic(), i.op1_register()),
                (Mnemonic::Vmovups, register(a, Width::Y))
            );
            check_mem(&i, m);
            let i = one(&|asm| asm.shift(Shift::Left, true, Width::Y, dst, a, 52));
            assert_eq!((i.mnemonic(), i.immediate8()), (Mnemonic::Vpsllq, 52));
            assert_eq!(
                (i.op0_register(), i.op1_register()),
                (register(dst, Width::Y), register(a, Width::Y))
            );
            let i = one(&|asm| asm.shift(Shift::RightArithmetic, false, Width::X, dst, a, 3));
            assert_eq!((i.mnemonic(), i.immediate8()), (Mnemonic::Vpsrad, 3));
            let i = one(&|asm| asm.shift(Shift::RightLogical, true, Width::Y, dst, a, 3));
            assert_eq!(i.mnemonic(), Mnemonic::Vpsrlq);
            let i = one(&|asm| asm.op2_imm(Op::round(false), Width::Y, dst, Rm::Mem(m), 8));
            let names = [Mnemonic::Vroundps, Mnemonic::Vrndscaleps];
            assert_eq!((i.mnemonic(), i.immediate8()), (names[(isa == Isa::Evex) as usize], 8));
            check_mem(&i, m);
            let i = one(&|asm| asm.op2_imm(Op::round(true), Width::Y, dst, Rm::Reg(b), 9));
            let shuffled =
                one(&|asm| asm.op2_imm(Op::WITHIN_FOURS, Width::Y, dst, Rm::Reg(b), 0x55));
            assert_eq!((shuffled.mnemonic(), shuffled.immediate8()), (Mnemonic::Vpermilps, 0x55));
            assert_eq!(shuffled.op1_register(), register(b, Width::Y));
            let names = [Mnemonic::Vroundpd, Mnemonic::Vrndscalepd];
            assert_eq!(
                (i.mnemonic(), i.op1_register()),
                (names[(isa == Isa::Evex) as usize], register(b, Width::Y))
            );
        }
        let (dst, a, b) = (v(&mut rng, Isa::Vex), v(&mut rng, Isa::Vex), v(&mut rng, Isa::Vex));
        let vex = |emit: &dyn Fn(&mut Asm)| decode(&emitted(Isa::Vex, |asm| emit(asm)));
        let i = vex(&|asm| asm.op3_imm(Op::blendv(false), Width::Y, dst, a, Rm::Reg(b), 5 << 4));
        assert_eq!((i.mnemonic(), i.op3_register()), (Mnemonic::Vblendvps, Register::YMM5));
        let i = vex(&|asm| asm.op3_imm(Op::HALVES, Width::Y, dst, a, Rm::Reg(b), 0x11));
        assert_eq!((i.mnemonic(), i.immediate8()), (Mnemonic::Vperm2f128, 0x11));
        assert_eq!(i.op2_register(), register(b, Width::Y));
        let i = vex(&|asm| asm.op3_imm(Op::cmp(true), Width::Y, dst, a, Rm::Mem(m), 1));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Vcmppd, register(dst, Width::Y)));
        let i = vex(&|asm| asm.op3(Op::mask_load(false), Width::Y, dst, a, Rm::Mem(m)));
        assert_eq!((i.mnemonic(), i.op1_register()), (Mnemonic::Vmaskmovps, register(a, Width::Y)));
        check_mem(&i, m);
        let i = vex(&|asm| asm.op3(Op::mask_store(true), Width::Y, dst, a, Rm::Mem(m)));
        assert_eq!(
            (i.mnemonic(), i.op2_register()),
            (Mnemonic::Vmaskmovpd, register(dst, Width::Y))
        );
        let (dst, a, b) = (v(&mut rng, Isa::Evex), v(&mut rng, Isa::Evex), v(&mut rng, Isa::Evex));
        let k = Mask(1 + rng.below(7) as u8);
        let evex = |emit: &dyn Fn(&mut Asm)| decode(&emitted(Isa::Evex, |asm| emit(asm)));
        let i = evex(&|asm| asm.cmp_mask(Op::cmp(false), Width::Z, k, a, Rm::Broadcast(m), 1));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Vcmpps, Register::K0 + k.0 as u32));
        check_mem(&i, m);
        let i = evex(&|asm| asm.cmp_mask(Op::cmp_int(true), Width::Z, k, a, Rm::Reg(b), 1));
        assert_eq!((i.mnemonic(), i.op2_register()), (Mnemonic::Vpcmpd, register(b, Width::Z)));
        let i = evex(&|asm| asm.cmp_mask(Op::cmp_int(false), Width::Z, k, a, Rm::Reg(b), 1));
        assert_eq!(i.mnemonic(), Mnemonic::Vpcmpud);
        let i =
            evex(&|asm| asm.op3_imm(Op::ternlog(false), Width::Z, dst, a, Rm::Broadcast(m), 0xCA));
        assert_eq!((i.mnemonic(), i.immediate8()), (Mnemonic::Vpternlogd, 0xCA));
        let i = evex(&|asm| asm.op3_imm(Op::ternlog(true), Width::Z, dst, a, Rm::Reg(b), 0xCA));
        assert_eq!(i.mnemonic(), Mnemonic::Vpternlogq);
        let i = evex(&|asm| asm.op2(Op::mask_to_lanes(false), Width::Z, dst, Rm::Reg(Vec(k.0))));
        assert_eq!(
            (i.mnemonic(), i.op1_register()),
            (Mnemonic::Vpmovm2d, Register::K0 + k.0 as u32)
        );
        let i = evex(&|asm| asm.op2(Op::mask_to_lanes(true), Width::Z, dst, Rm::Reg(Vec(k.0))));
        assert_eq!(i.mnemonic(), Mnemonic::Vpmovm2q);
        let i = evex(&|asm| asm.store(Op::LANES_TO_BYTES, Width::Z, m, a, k));
        assert_eq!((i.mnemonic(), i.op_mask()), (Mnemonic::Vpmovdb, Register::K0 + k.0 as u32));
        check_mem(&i, m);
        let i = evex(&|asm| asm.op3_imm(Op::LANES_128, Width::Z, dst, a, Rm::Reg(b), 0x55));
        assert_eq!((i.mnemonic(), i.immediate8()), (Mnemonic::Vshuff32x4, 0x55));
        assert_eq!(i.op2_register(), register(b, Width::Z));
        let i = evex(&|asm| asm.upper(32, dst, a));
        assert_eq!(
            (i.mnemonic(), i.op0_register()),
            (Mnemonic::Vextractf64x4, register(dst, Width::Y))
        );
        assert_eq!(i.op1_register(), register(a, Width::Z));
        let i = evex(&|asm| asm.op2(Op::BYTE_TO_ALL, Width::Z, dst, Rm::Mem(m)));
        assert_eq!(i.mnemonic(), Mnemonic::Vpbroadcastb);
        check_mem(&i, m);
        let i = evex(&|asm| asm.op3(Op::TEST_BYTES, Width::Z, Vec(k.0), a, Rm::Reg(b)));
        assert_eq!(
            (i.mnemonic(), i.op0_register()),
            (Mnemonic::Vptestmb, Register::K0 + k.0 as u32)
        );
        let i = evex(&|asm| asm.op3(Op::TEST_D, Width::Y, Vec(k.0), a, Rm::Reg(b)));
        assert_eq!((i.mnemonic(), i.op2_register()), (Mnemonic::Vptestmd, register(b, Width::Y)));
        let i = evex(&|asm| asm.store(Op::store(true), Width::Z, m, a, k));
        assert_eq!((i.mnemonic(), i.op_mask()), (Mnemonic::Vmovupd, Register::K0 + k.0 as u32));
        check_mem(&i, m);
    }
}

#[test]
fn general_instructions_decode_to_themselves() {
    let mut rng = Rng(11);
    for _ in 0..200 {
        let m = mem(&mut rng);
        let (a, b) = (Gpr(rng.below(16) as u8), Gpr(rng.below(16) as u8));
        let imm = rng.next() as i32;
        let one = |emit: &dyn Fn(&mut Asm)| decode(&emitted(Isa::Evex, |asm| emit(asm)));
        let i = one(&|asm| asm.mov_load(a, m));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Mov, gpr(a)));
        check_mem(&i, m);
        let i = one(&|asm| asm.mov_store(m, a));
        assert_eq!((i.mnemonic(), i.op1_register()), (Mnemonic::Mov, gpr(a)));
        check_mem(&i, m);
        let i = one(&|asm| asm.mov_reg(a, b));
        assert_eq!(
            (i.mnemonic(), i.op0_register(), i.op1_register()),
            (Mnemonic::Mov, gpr(a), gpr(b))
        );
        let i = one(&|asm| asm.mov_load_u32(a, m));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Mov, gpr(a).full_register32()));
        check_mem(&i, m);
        let i = one(&|asm| asm.mov_load_i32(a, m));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Movsxd, gpr(a)));
        check_mem(&i, m);
        let i = one(&|asm| asm.mov_mem_imm(m, imm));
        assert_eq!((i.mnemonic(), i.immediate(1) as i64), (Mnemonic::Mov, imm as i64));
        check_mem(&i, m);
        let i = one(&|asm| asm.lea(a, m));
        assert_eq!(i.mnemonic(), Mnemonic::Lea);
        check_mem(&i, m);
        let wide = rng.next() as i64;
        for imm in [wide, imm as i64, 5, -1] {
            let i = one(&|asm| asm.mov_imm(a, imm));
            assert_eq!((i.mnemonic(), i.immediate(1) as i64), (Mnemonic::Mov, imm));
        }
        let i = one(&|asm| asm.add_reg(a, b));
        assert_eq!(
            (i.mnemonic(), i.op0_register(), i.op1_register()),
            (Mnemonic::Add, gpr(a), gpr(b))
        );
        let i = one(&|asm| asm.mul_reg(a, b));
        assert_eq!(
            (i.mnemonic(), i.op0_register(), i.op1_register()),
            (Mnemonic::Imul, gpr(a), gpr(b))
        );
        let i = one(&|asm| asm.and_imm(a, imm));
        assert_eq!(
            (i.mnemonic(), i.op0_register(), i.immediate(1) as i64),
            (Mnemonic::And, gpr(a), imm as i64)
        );
        let i = one(&|asm| asm.add_store(m, b));
        assert_eq!((i.mnemonic(), i.op1_register()), (Mnemonic::Add, gpr(b)));
        check_mem(&i, m);
        let i = one(&|asm| asm.add_imm(a, imm));
        assert_eq!(
            (i.mnemonic(), i.op0_register(), i.immediate(1) as i64),
            (Mnemonic::Add, gpr(a), imm as i64)
        );
        let i = one(&|asm| asm.neg(a));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Neg, gpr(a)));
        let i = one(&|asm| asm.add_mem_imm(m, imm));
        assert_eq!((i.mnemonic(), i.immediate(1) as i64), (Mnemonic::Add, imm as i64));
        check_mem(&i, m);
        let i = one(&|asm| asm.cmp_imm(a, imm));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Cmp, gpr(a)));
        let i = one(&|asm| asm.cmp_mem_imm(m, imm));
        assert_eq!((i.mnemonic(), i.immediate(1) as i64), (Mnemonic::Cmp, imm as i64));
        check_mem(&i, m);
        let i = one(&|asm| asm.cmp_byte_imm(m, 0));
        assert_eq!((i.mnemonic(), i.memory_size().size()), (Mnemonic::Cmp, 1));
        check_mem(&i, m);
        let i = one(&|asm| asm.test32(a));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Test, gpr(a).full_register32()));
        let i = one(&|asm| asm.call(a));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Call, gpr(a)));
        let i = one(&|asm| asm.push(a));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Push, gpr(a)));
        let i = one(&|asm| asm.pop(a));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Pop, gpr(a)));
        let k = Mask(1 + rng.below(7) as u8);
        let i = one(&|asm| asm.kmovd(k, a));
        assert_eq!((i.mnemonic(), i.op0_register()), (Mnemonic::Kmovd, Register::K0 + k.0 as u32));
        assert_eq!(i.op1_register(), gpr(a).full_register32());
    }
    assert_eq!(decode(&emitted(Isa::Vex, Asm::vzeroupper)).mnemonic(), Mnemonic::Vzeroupper);
    assert_eq!(decode(&emitted(Isa::Vex, Asm::ret)).mnemonic(), Mnemonic::Ret);
    assert_eq!(decode(&emitted(Isa::Vex, Asm::align_stack)).mnemonic(), Mnemonic::And);
}

#[test]
fn jumps_and_pool_reach_their_targets() {
    let mut asm = Asm::new(Isa::Evex);
    let constant = asm.pooled(&1.5f32.to_le_bytes());
    assert_eq!(asm.pooled(&2.5f32.to_le_bytes()), Mem::Pool(4));
    assert_eq!(asm.pooled(&1.5f32.to_le_bytes()), constant);
    let end = asm.label();
    asm.jump_if(If::NotEqual, end);
    asm.op3_imm(Op::cmp(false), Width::Z, Vec(1), Vec(2), Rm::Broadcast(constant), 1);
    let second = asm.len();
    asm.op3(Op::add(false), Width::Z, Vec(1), Vec(2), Rm::Broadcast(Mem::Pool(4)));
    asm.bind(end);
    let n = asm.len();
    asm.ret();
    let bytes = asm.finish();
    let jump = decode(&bytes);
    assert_eq!((jump.mnemonic(), jump.near_branch64()), (Mnemonic::Jne, n as u64));
    let read = |at: u64| f32::from_le_bytes(bytes[at as usize..][..4].try_into().unwrap());
    let i = decode(&bytes[jump.len()..]);
    assert_eq!(read(i.ip_rel_memory_address() + jump.len() as u64), 1.5);
    let i = decode(&bytes[second..]);
    assert_eq!(read(i.ip_rel_memory_address() + second as u64), 2.5);
}
