// One node: AXI4-Lite registers, AXI-Stream in and out, and AXI-Stream pairs to the neighbours below and above (those
// of a link that the node does not have are ignored and silent). One clock; the reset is synchronous and active low.
// After a reset the node is busy for a few cycles.
//
// The pipeline, by the stage of an operation of mep_sequence:
//   0 issue, addresses   1 memories are read   2 words and weights are there   3 factors   4 products; sums of the
//   layer below are added to   5 .. R a row's sum through the tree   R sums are written, and read by RELAX
//   R+1 .. R+4 the new state, written at the end of R+4.  An update is written at the end of stage 6.
module mep_node #(
`include "mep_config.svh"
) (
    input  logic        aclk,
    input  logic        aresetn,
    input  logic [5:0]  s_axil_awaddr,
    input  logic        s_axil_awvalid,
    output logic        s_axil_awready,
    input  logic [31:0] s_axil_wdata,
    input  logic        s_axil_wvalid,
    output logic        s_axil_wready,
    output logic [1:0]  s_axil_bresp,
    output logic        s_axil_bvalid,
    input  logic        s_axil_bready,
    input  logic [5:0]  s_axil_araddr,
    input  logic        s_axil_arvalid,
    output logic        s_axil_arready,
    output logic [31:0] s_axil_rdata,
    output logic [1:0]  s_axil_rresp,
    output logic        s_axil_rvalid,
    input  logic        s_axil_rready,
    input  logic [31:0] s_host_tdata,
    input  logic        s_host_tvalid,
    input  logic        s_host_tlast,
    output logic        s_host_tready,
    output logic [31:0] m_host_tdata,
    output logic        m_host_tvalid,
    output logic        m_host_tlast,
    input  logic        m_host_tready,
    input  logic [31:0] s_below_tdata,
    input  logic        s_below_tvalid,
    input  logic        s_below_tlast,
    output logic        s_below_tready,
    output logic [31:0] m_below_tdata,
    output logic        m_below_tvalid,
    output logic        m_below_tlast,
    input  logic        m_below_tready,
    input  logic [31:0] s_above_tdata,
    input  logic        s_above_tvalid,
    input  logic        s_above_tlast,
    output logic        s_above_tready,
    output logic [31:0] m_above_tdata,
    output logic        m_above_tvalid,
    output logic        m_above_tlast,
    input  logic        m_above_tready
);
    localparam int R = 5 + TREE;
    wire clk = aclk;
    wire rst = !aresetn;

    // registers and course of a job
    logic start, busy, done, error, nudge, begin_job;
    logic [1:0] operation, phase;
    logic [5:0] flags;
    logic [15:0] free_steps, nudged_steps, below_frame, above_frame;
    logic [16:0] beta;
    logic [31:0] timeout, jobs, cycles, static_cycles, settle_cycles, busy_cycles;
    logic [20:0] error_at;
    logic pass_start, pass_ends, moved, updating, heard_page, seed;
    logic [2:0] pass_kind;
    logic [TW-1:0] pass_from, pass_to;
    logic [AW-1:0] pass_address, send_first;
    logic [EW-1:0] seed_entry;
    logic take_begin, take_done, send_begin, send_framed, send_last, send_done;
    logic [31:0] take_values, send_values, send_header;
    logic [1:0] take_what, send_to, send_what, below_phase, above_phase;
    logic below_bad, above_bad;
    mep_axil axil (.*);
    mep_control control (.*);

    // operations
    logic [2:0] kind;
    logic [TW-1:0] layer;
    logic [NW-1:0] word, row_word;
    logic [LW-1:0] row_lane;
    logic first_row, first_word, last_word;
    logic [AW-1:0] address, send_address;
    mep_sequence sequence_ (
        .clk, .rst, .start(pass_start), .start_kind(pass_kind), .start_from(pass_from), .start_to(pass_to),
        .start_address(pass_address), .kind, .layer, .word, .row_word, .row_lane, .first_row, .first_word, .last_word,
        .address, .pass_ends
    );
    wire idle = kind == NONE;
    wire [SW-1:0] word_address = idle ? SW'(send_address) : SW'(BASE[32*layer+:32]) + SW'(word);
    wire [SW-1:0] unit_address = SW'(BASE[32*(32'(layer)+1)+:32]) + SW'(row_word);
    wire [EW-1:0] entry = kind == BIAS ? EW'(K - 1) + EW'(layer) : EW'(layer);
    /* verilator lint_off UNUSEDSIGNAL */  // not every stage of a tap is looked at
    logic [3*(R+4)-1:0] kinds;
    logic [TW*(R+1)-1:0] layers;
    logic [SW*(R+4)-1:0] word_addresses;
    logic [SW*R-1:0] unit_addresses;
    logic [LW*R-1:0] row_lanes;
    logic [3*R-1:0] places;
    logic [EW*5-1:0] entries;
    logic [2*NW:0] now;
    logic [AW*6-1:0] addresses;
    /* verilator lint_on UNUSEDSIGNAL */
    mep_taps #(.W(3), .N(R + 4), .RESET(1)) kind_taps (.clk, .rst, .in(kind), .out(kinds));
    mep_taps #(.W(TW), .N(R + 1)) layer_taps (.clk, .rst, .in(layer), .out(layers));
    mep_taps #(.W(SW), .N(R + 4)) word_taps (.clk, .rst, .in(word_address), .out(word_addresses));
    mep_taps #(.W(SW), .N(R)) unit_taps (.clk, .rst, .in(unit_address), .out(unit_addresses));
    mep_taps #(.W(LW), .N(R)) lane_taps (.clk, .rst, .in(row_lane), .out(row_lanes));
    mep_taps #(.W(3), .N(R)) place_taps (.clk, .rst, .in({first_row, first_word, last_word}), .out(places));
    mep_taps #(.W(EW), .N(5)) entry_taps (.clk, .rst, .in(entry), .out(entries));
    mep_taps #(.W(2 * NW + 1), .N(1)) now_taps (.clk, .rst, .in({moved, word, row_word}), .out(now));
    mep_taps #(.W(AW), .N(6)) address_taps (.clk, .rst, .in(address), .out(addresses));
    wire [2:0] kind_2 = kinds[3*1+:3];
    wire [2:0] kind_4 = kinds[3*3+:3];
    wire [2:0] kind_5 = kinds[3*4+:3];
    wire [2:0] kind_6 = kinds[3*5+:3];
    wire [2:0] kind_r = kinds[3*(R-1)+:3];
    wire [2:0] kind_out = kinds[3*(R+3)+:3];
    wire [TW-1:0] layer_4 = layers[TW*3+:TW];
    wire [TW-1:0] layer_r = layers[TW*(R-1)+:TW];
    wire [SW-1:0] word_address_4 = word_addresses[SW*3+:SW];
    wire [SW-1:0] word_address_r = word_addresses[SW*(R-1)+:SW];

    // values from the host
    logic [1:0] taken_what;
    logic taken_write, taking;
    logic [AW-1:0] taken_index;
    logic [P*VB-1:0] taken;
    mep_collect #(.P(P), .LW(LW), .VB(VB), .IW(AW)) take (
        .clk, .rst, .begin_block(take_begin), .values(take_values), .active(taking), .done(take_done),
        .s_valid(s_host_tvalid), .s_ready(s_host_tready), .s_data(s_host_tdata),
        .write(taken_write), .index(taken_index), .word(taken)
    );
    always_ff @(posedge clk) taken_what <= take_what;
    logic [P*WB-1:0] taken_weights;
    logic [P*BB-1:0] taken_biases;
    logic [P*SB-1:0] taken_states;
    always_comb
        for (int p = 0; p < P; p++) begin
            taken_weights[WB*p+:WB] = taken[VB*p+:WB];
            taken_biases[BB*p+:BB] = taken[VB*p+:BB];
            taken_states[SB*p+:SB] = taken[VB*p+:SB];
        end

    // what neighbours sent
    logic [P*SB-1:0] below_one, below_two, above_one, above_two;
    if (TAKES_INPUT == 0) begin : below
        mep_ghost #(.P(P), .LW(LW), .SB(SB), .NW(NW), .UNITS(UNITS[0+:32])) link (
            .clk, .rst, .begin_job, .nudge, .job(jobs[13:0]), .free_steps, .nudged_steps,
            .phase(below_phase), .frame(below_frame), .bad(below_bad),
            .s_valid(s_below_tvalid), .s_ready(s_below_tready), .s_data(s_below_tdata), .s_last(s_below_tlast),
            .page(heard_page), .word(now[NW+:NW]), .word_one(below_one), .word_two(below_two)
        );
    end else begin : bottom
        assign {below_phase, below_frame, below_bad, s_below_tready, below_one, below_two} = '0;
    end
    if (HAS_ABOVE != 0) begin : above
        mep_ghost #(.P(P), .LW(LW), .SB(SB), .NW(NW), .UNITS(UNITS[32*(M+1)+:32])) link (
            .clk, .rst, .begin_job, .nudge, .job(jobs[13:0]), .free_steps, .nudged_steps,
            .phase(above_phase), .frame(above_frame), .bad(above_bad),
            .s_valid(s_above_tvalid), .s_ready(s_above_tready), .s_data(s_above_tdata), .s_last(s_above_tlast),
            .page(heard_page), .word(now[0+:NW]), .word_one(above_one), .word_two(above_two)
        );
    end else begin : top
        assign {above_phase, above_frame, above_bad, s_above_tready, above_one, above_two} = '0;
    end

    // words and weights
    logic [P*WB-1:0] weights_2, new_weights;
    logic [P*SB-1:0] word_a_2, word_b_2, next_states;
    logic signed [SB-1:0] unit_a_2, unit_b_2;
    logic [P*(SB+1)-1:0] error_2;
    logic [P*BB-1:0] biases_read, new_biases;
    wire take_weights = taken_write && taken_what == 2'd0;
    wire take_biases = taken_write && taken_what == 2'd1;
    mep_weights weights (
        .clk, .address(idle ? send_address : address), .word(weights_2),
        .write(take_weights || kind_6 == UPDATE), .write_address(take_weights ? taken_index : addresses[AW*5+:AW]),
        .write_word(take_weights ? taken_weights : new_weights)
    );
    mep_biases biases (
        .clk, .address(kind_r == RELAX ? word_address_r : kind_4 == BIAS ? word_address_4 : SW'(send_address)),
        .word(biases_read), .write(take_biases || kind_6 == BIAS),
        .write_address(take_biases ? SW'(taken_index) : word_addresses[SW*5+:SW]),
        .write_word(take_biases ? taken_biases : new_biases)
    );
    wire moved_1 = now[2*NW];
    mep_states states (
        .clk, .below(layers[0+:TW] == '0 && kinds[0+:3] != NONE), .above(HAS_ABOVE != 0 && layers[0+:TW] == TW'(M)),
        .page(updating || phase == 2'd1 && moved_1), .two(!updating && phase == 2'd2 && moved_1),
        .heard_two(!updating && phase == 2'd2),
        .word_address(word_addresses[0+:SW]), .unit_address(unit_addresses[0+:SW]), .word(now[NW+:NW]),
        .unit_lane(row_lanes[0+:LW]), .below_one, .below_two, .above_one, .above_two,
        .word_a(word_a_2), .word_b(word_b_2), .unit_a(unit_a_2), .unit_b(unit_b_2), .error(error_2),
        .write(kind_out == RELAX || kind_out == FILL), .write_two(phase == 2'd2), .write_page(phase == 2'd1),
        .write_address(word_addresses[SW*(R+3)+:SW]), .write_word(next_states),
        .write_input(taken_write && taken_what == 2'd2), .write_target(taken_write && taken_what == 2'd3),
        .taken_index(NW'(taken_index)), .taken(taken_states)
    );

    // sums
    logic [P*MB-1:0] plus_4, minus_4;
    logic [P*UB-1:0] up_r;
    logic [P*DB-1:0] down_r;
    mep_lanes lanes (
        .clk, .kind_2, .weights_2, .word_a_2, .word_b_2, .unit_a_2, .unit_b_2, .error_2,
        .beta(phase == 2'd2 ? -$signed({1'b0, beta}) : $signed({1'b0, beta})),
        .down_4(kind_4 == MAC && layer_4 != '0), .first_row_4(places[3*3+2]), .down_address_4(word_address_4),
        .first_word_s(places[3*(R-2)+1]), .up_r(kind_r == MAC && places[3*(R-1)] && layer_r < TW'(M)),
        .up_address_r(unit_addresses[SW*(R-1)+:SW]), .up_lane_r(row_lanes[LW*(R-1)+:LW]),
        .read_address_r(word_address_r), .plus_4, .minus_4, .up_word_r(up_r), .down_word_r(down_r)
    );

    // new states
    logic [P*SB-1:0] states_x;
    logic [P*PB-1:0] pulls_4, pulls_x;
    logic [P*BB-1:0] biases_x;
    logic [P*UB-1:0] up_x;
    logic [P*DB-1:0] down_x;
    wire pulled_4 = HAS_READOUT != 0 && phase != 2'd0 && kind_4 == RELAX && layer_4 == TW'(M);
    mep_delay #(.W(P * SB), .N(R - 1)) state_delay (.clk, .in(word_a_2), .out(states_x));
    mep_delay #(.W(P * PB), .N(R - 3)) pull_delay (.clk, .in(pulls_4), .out(pulls_x));
    always_ff @(posedge clk) {biases_x, up_x, down_x} <= {biases_read, up_r, down_r};
    for (genvar p = 0; p < P; p++) begin : unit
        wire signed [PB-1:0] product = PB'($signed(plus_4[MB*p+:MB]));
        wire signed [PB-1:0] pull = (product + PB'(PULL_HALF)) >>> BETA_FRACTION;  // beside '0 it would be unsigned
        assign pulls_4[PB*p+:PB] = pulled_4 ? pull : '0;
        mep_relax relax (
            .clk, .layer(layers[TW*R+:TW]), .fill(kinds[3*R+:3] == FILL), .bias(biases_x[BB*p+:BB]),
            .up(up_x[UB*p+:UB]), .down(down_x[DB*p+:DB]), .state(states_x[SB*p+:SB]), .pull(pulls_x[PB*p+:PB]),
            .next(next_states[SB*p+:SB])
        );
    end

    // updates
    if (LEARN != 0) begin : learning
        logic [P*WB-1:0] weights_5;
        logic [P*BB-1:0] biases_5;
        logic [P*OB-1:0] old_5, new_6;
        mep_delay #(.W(P * WB), .N(3)) weight_delay (.clk, .in(weights_2), .out(weights_5));
        always_ff @(posedge clk) biases_5 <= biases_read;
        for (genvar p = 0; p < P; p++) begin : lane
            wire signed [WB-1:0] weight = weights_5[WB*p+:WB];
            wire signed [BB-1:0] bias = biases_5[BB*p+:BB];
            assign old_5[OB*p+:OB] = kind_5 == BIAS ? OB'(bias) : OB'(weight);
            assign new_weights[WB*p+:WB] = new_6[OB*p+:WB];
            assign new_biases[BB*p+:BB] = new_6[OB*p+:BB];
        end
        mep_update update (
            .clk, .seed, .seed_entry, .draw_3(kinds[3*2+:3] == UPDATE || kinds[3*2+:3] == BIAS),
            .entry_3(entries[EW*2+:EW]), .entry_4(entries[EW*3+:EW]), .entry_5(entries[EW*4+:EW]),
            .plus_4, .minus_4, .old_5, .new_6
        );
    end else begin : fixed
        assign {new_weights, new_biases} = '0;
    end

    // values to the host and to neighbours
    logic send_valid, send_ready, send_tlast;
    logic [31:0] send_data;
    logic [P*VB-1:0] send_word;
    for (genvar p = 0; p < P; p++) begin : sent
        wire signed [WB-1:0] weight = weights_2[WB*p+:WB];
        wire signed [BB-1:0] bias = biases_read[BB*p+:BB];
        wire signed [SB-1:0] state = word_a_2[SB*p+:SB];
        assign send_word[VB*p+:VB] = send_what == 2'd0 ? VB'(weight) : send_what == 2'd1 ? VB'(bias) : VB'(state);
    end
    mep_sender sender (
        .clk, .rst, .begin_block(send_begin), .with_header(send_framed), .with_last(send_last), .header(send_header),
        .first_word(send_first), .values(send_values), .done(send_done), .address(send_address), .word(send_word),
        .m_valid(send_valid), .m_ready(send_ready), .m_data(send_data), .m_last(send_tlast)
    );
    assign {m_host_tdata, m_below_tdata, m_above_tdata} = {3{send_data}};
    assign {m_host_tlast, m_below_tlast, m_above_tlast} = {3{send_tlast}};
    assign m_host_tvalid = send_valid && send_to == 2'd0;
    assign m_below_tvalid = send_valid && send_to == 2'd1;
    assign m_above_tvalid = send_valid && send_to == 2'd2;
    assign send_ready = send_to == 2'd0 ? m_host_tready : send_to == 2'd1 ? m_below_tready : m_above_tready;
    wire unused = &{1'b0, s_host_tlast, s_below_tdata, s_below_tvalid, s_below_tlast, s_above_tdata, s_above_tvalid,
                    s_above_tlast, heard_page, begin_job, nudge, taking, kind_5, seed, seed_entry, minus_4};
endmodule
