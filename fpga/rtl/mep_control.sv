// The course of a job: which pass, which frame and which block of values comes next.
//
// Asynchronous: after every step a frame goes out and the next step begins, until `stop` has been there or the phase
// has made all its steps (the register's; at most 65534); then the closing frame goes out, and the neighbours' are
// awaited. A frame has the number of steps made, a closing one 65535; only a closing one must not be lost.
module mep_control #(
`include "mep_config.svh"
) (
    input  logic          clk,
    input  logic          rst,
    input  logic          start,
    input  logic [1:0]    operation,
    input  logic [6:0]    flags,
    input  logic [15:0]   free_steps,
    input  logic [15:0]   nudged_steps,
    input  logic [31:0]   timeout,
    output logic          busy,
    output logic          done,
    output logic          error,
    output logic [20:0]   error_at,
    output logic [31:0]   jobs,
    output logic [31:0]   cycles,
    output logic [31:0]   static_cycles,
    output logic [31:0]   settle_cycles,
    output logic [31:0]   busy_cycles,
    // passes
    output logic          pass_start,
    output logic [2:0]    pass_kind,
    output logic [TW-1:0] pass_from,
    output logic [TW-1:0] pass_to,
    output logic [AW-1:0] pass_address,
    input  logic          pass_ends,
    output logic [1:0]    phase,
    output logic          moved,       // the phase has made a step: its states are where it leaves them
    output logic          updating,
    output logic          heard_page,
    output logic          seed,
    output logic [EW-1:0] seed_entry,
    // values from the host
    output logic          take_begin,
    output logic [31:0]   take_values,
    output logic [1:0]    take_what,   // 0 weights, 1 biases, 2 input, 3 target
    input  logic          take_done,
    // values to the host and to neighbours
    output logic          send_begin,
    output logic [1:0]    send_to,     // 0 host, 1 below, 2 above
    output logic [1:0]    send_what,   // 0 weights, 1 biases, 2 states
    output logic [AW-1:0] send_first,
    output logic [31:0]   send_values,
    output logic          send_last,
    output logic          send_framed, // behind a header
    output logic [31:0]   send_header,
    input  logic          send_done,
    // links
    output logic          begin_job,
    output logic          nudge,
    output logic          asynchronous,
    output logic          hold,        // a step is being made
    output logic          phase_begins,
    input  logic          changes,     // a state
    input  logic          below_heard,
    input  logic          above_heard,
    input  logic          stop,        // asynchronous: a pulse ends the phase
    output logic          quiet,       // until then: the last step changed no state, and knew states of this phase from
                                       // each neighbour; or the node has made all its steps
    input  logic [1:0]    below_phase,
    input  logic [15:0]   below_frame,
    input  logic          below_bad,
    input  logic [1:0]    above_phase,
    input  logic [15:0]   above_frame,
    input  logic          above_bad
);
    localparam bit LINKED = TAKES_INPUT == 0 || HAS_ABOVE != 0;
    localparam int FIRST_STEP = TAKES_INPUT != 0 ? 1 : 0;  // the first coupling of a step
    localparam bit STEP_MULTIPLIES = FIRST_STEP < K;
    localparam [4:0] SEED = 0, IDLE = 1, TAKE_WEIGHTS = 2, TAKE_BIASES = 3, SEND_WEIGHTS = 4, SEND_BIASES = 5,
        TAKE_INPUT = 6, TAKE_TARGET = 7, REST_ALL = 8, REST_DRAIN = 9, DRIVE = 10, DRIVE_DRAIN = 11,
        FRAME_BELOW = 12, FRAME_ABOVE = 13, AWAIT = 14, STEP_SUMS = 15, STEP_MOVE = 16, STEP_GAP = 17,
        PHASE_END = 18, EMIT = 19, EMIT_TOP = 20, NEXT_PHASE = 21, LEARN_WEIGHTS = 22, LEARN_BIASES = 23,
        LEARN_DRAIN = 24, FINISH = 25, FAILED = 26;
    localparam [15:0] CLOSING = 16'hFFFF, LAST = 16'hFFFE;
    localparam [4:0] FRAME_FIRST = TAKES_INPUT == 0 ? FRAME_BELOW : FRAME_ABOVE;
    localparam [4:0] STEP_FIRST = STEP_MULTIPLIES ? STEP_SUMS : STEP_MOVE;
    localparam [4:0] PHASE_FIRST = LINKED ? FRAME_FIRST : STEP_FIRST;

    logic [4:0] state, next;
    logic enter, fail, refuse, step_done, closes, closing, stopping, stirred, resting;
    logic [31:0] waited;
    logic [15:0] step;
    logic [1:0] what;
    logic link;

    wire [15:0] steps = phase == 2'd0 ? free_steps : nudged_steps;
    wire learn = flags[1];
    assign nudge = flags[0];
    wire emits = phase == 2'd0 ? flags[2] : phase == 2'd1 ? flags[4] : flags[5];
    wire emits_top = phase == 2'd0 && flags[3] && HAS_READOUT != 0;
    wire emits_later = nudge && (phase == 2'd0 ? |flags[5:4] : phase == 2'd1 && flags[5]);
    assign asynchronous = LINKED && flags[6];
    wire below_there = TAKES_INPUT != 0 || below_phase > phase
        || !asynchronous && below_phase == phase && below_frame > step;
    wire above_there = HAS_ABOVE == 0 || above_phase > phase
        || !asynchronous && above_phase == phase && above_frame > step;
    wire late = timeout != '0 && waited >= timeout;
    wire last_step = step + 16'd1 == steps;
    wire [31:0] gap = LINKED || last_step ? 32'(DRAIN) : 32'(GAP);
    wire legal = operation != 2'd0 && !(operation == 2'd3 && learn && (!nudge || LEARN == 0)
                        || operation == 2'd3 && flags[5:4] != 2'd0 && !nudge  // phases that do not run emit nothing
                        || operation == 2'd3 && flags[6] && !LINKED);

    always_comb begin
        {enter, fail, refuse, step_done, closes, phase_begins, what, link} = '0;
        next = state;
        case (state)
            SEED: if (32'(seed_entry) + 32'd1 >= ENTRIES) next = IDLE;
            IDLE:
            if (start) begin
                refuse = !legal;
                if (operation == 2'd1) next = TAKE_WEIGHTS;
                if (operation == 2'd2) next = SEND_WEIGHTS;
                if (operation == 2'd3) next = TAKES_INPUT != 0 ? TAKE_INPUT
                                              : HAS_READOUT != 0 && nudge ? TAKE_TARGET : REST_ALL;
                if (refuse) next = IDLE;
            end
            TAKE_WEIGHTS: if (take_done) next = TAKE_BIASES;
            TAKE_BIASES: if (take_done) next = FINISH;
            SEND_WEIGHTS: if (send_done) next = SEND_BIASES;
            SEND_BIASES: if (send_done) next = FINISH;
            TAKE_INPUT: if (take_done) next = HAS_READOUT != 0 && nudge ? TAKE_TARGET : REST_ALL;
            TAKE_TARGET: if (take_done) next = REST_ALL;
            REST_ALL: if (pass_ends) next = REST_DRAIN;
            REST_DRAIN: if (waited == 32'(DRAIN - 1)) begin
                next = TAKES_INPUT != 0 ? DRIVE : PHASE_FIRST;
            end
            DRIVE: if (pass_ends) next = DRIVE_DRAIN;
            DRIVE_DRAIN: if (waited == 32'(DRAIN - 1)) next = PHASE_FIRST;
            FRAME_BELOW: begin
                {fail, what, link} = {late, 2'd3, 1'b0};
                if (send_done) next = HAS_ABOVE != 0 ? FRAME_ABOVE : AWAIT;
            end
            FRAME_ABOVE: begin
                {fail, what, link} = {late, 2'd3, 1'b1};
                if (send_done) next = AWAIT;
            end
            AWAIT:
            if (asynchronous && !closing) begin
                closes = stopping || step >= steps || step == LAST;
                next = closes ? FRAME_FIRST : STEP_FIRST;
            end else if (below_there && above_there) next = closing || step == steps ? PHASE_END : STEP_FIRST;
            else begin
                fail = late || !below_there && below_bad || !above_there && above_bad;
                link = below_there || !below_bad && !above_there && above_bad;
                what = (link ? above_bad : below_bad) ? 2'd2 : 2'd1;
            end
            STEP_SUMS: if (pass_ends) next = STEP_MOVE;
            STEP_MOVE:
            if (pass_ends) begin
                step_done = gap == '0;
                enter = step_done;
                next = step_done ? STEP_FIRST : STEP_GAP;
            end
            STEP_GAP:
            if (waited == gap - 32'd1) begin
                step_done = 1'b1;
                next = LINKED ? FRAME_FIRST : last_step ? PHASE_END : STEP_FIRST;
            end
            PHASE_END: next = emits ? EMIT : emits_top ? EMIT_TOP : NEXT_PHASE;
            EMIT: if (send_done) next = emits_top ? EMIT_TOP : NEXT_PHASE;
            EMIT_TOP: if (send_done) next = NEXT_PHASE;
            NEXT_PHASE: begin
                phase_begins = nudge && phase != 2'd2;
                next = phase_begins ? PHASE_FIRST : learn ? LEARN_WEIGHTS : FINISH;
            end
            LEARN_WEIGHTS: if (pass_ends) next = LEARN_BIASES;
            LEARN_BIASES: if (pass_ends) next = LEARN_DRAIN;
            LEARN_DRAIN: if (waited == 32'(DRAIN - 1)) next = FINISH;
            FINISH: next = IDLE;
            default: ;
        endcase
        if (next != state) enter = 1'b1;
        if (fail) next = FAILED;
    end

    always_comb begin
        pass_start = 1'b0;
        {pass_kind, pass_from, pass_to, pass_address} = {RELAX, TW'(M), TW'(1), AW'(0)};
        if (enter && !fail)
            case (next)
                REST_ALL: {pass_start, pass_kind} = {1'b1, FILL};
                DRIVE: {pass_start, pass_kind, pass_from, pass_to} = {1'b1, MAC, TW'(0), TW'(0)};
                STEP_SUMS: begin
                    {pass_start, pass_kind, pass_from, pass_to} = {1'b1, MAC, TW'(FIRST_STEP), TW'(K - 1)};
                    pass_address = AW'(STEP_ADDRESS);
                end
                STEP_MOVE: {pass_start, pass_kind} = {1'b1, RELAX};
                LEARN_WEIGHTS: {pass_start, pass_kind, pass_from, pass_to} = {1'b1, UPDATE, TW'(0), TW'(K - 1)};
                LEARN_BIASES: {pass_start, pass_kind} = {1'b1, BIAS};
                default: ;
            endcase
    end

    always_comb begin
        take_begin = enter && (next == TAKE_WEIGHTS || next == TAKE_BIASES || next == TAKE_INPUT || next == TAKE_TARGET);
        case (next)
            TAKE_WEIGHTS: take_values = 32'(WEIGHT_WORDS * P);
            TAKE_BIASES: take_values = 32'(OWN_UNITS);
            TAKE_INPUT: take_values = UNITS[0+:32];
            default: take_values = UNITS[32*M+:32];
        endcase
    end

    always_comb begin
        send_begin = enter && !fail && (next == SEND_WEIGHTS || next == SEND_BIASES || next == EMIT || next == EMIT_TOP
                                        || next == FRAME_BELOW || next == FRAME_ABOVE);
        send_framed = next == FRAME_BELOW || next == FRAME_ABOVE;
        send_header = {jobs[13:0], phase_begins ? phase + 2'd1 : phase,
                       phase_begins ? 16'd0 : closing || closes ? CLOSING : step_done ? step + 16'd1 : step};
        {send_first, send_values, send_last} = {AW'(0), 32'(OWN_UNITS), 1'b1};
        case (next)
            SEND_WEIGHTS: {send_values, send_last} = {32'(WEIGHT_WORDS * P), 1'b0};
            EMIT: send_last = !emits_top && !emits_later;
            EMIT_TOP: {send_first, send_values, send_last} = {AW'(BASE[32*M+:32]), UNITS[32*M+:32], !emits_later};
            FRAME_BELOW: send_values = UNITS[32+:32];
            FRAME_ABOVE: {send_first, send_values} = {AW'(BASE[32*M+:32]), UNITS[32*M+:32]};
            default: ;
        endcase
    end

    assign busy = state != IDLE && state != FAILED;
    assign moved = step != '0;
    assign hold = state == STEP_SUMS || state == STEP_MOVE || state == STEP_GAP;
    wire phase_runs = hold || state == FRAME_BELOW || state == FRAME_ABOVE || state == AWAIT;
    assign quiet = asynchronous && phase_runs && !stopping && (resting || closing);
    assign updating = state == LEARN_WEIGHTS || state == LEARN_BIASES || state == LEARN_DRAIN;
    assign heard_page = updating ? nudged_steps[0] : step[0];
    assign seed = state == SEED && LEARN != 0;
    assign begin_job = state == IDLE && start && operation == 2'd3 && !refuse;
    always_comb begin
        case (state)
            TAKE_BIASES: take_what = 2'd1;
            TAKE_INPUT: take_what = 2'd2;
            TAKE_TARGET: take_what = 2'd3;
            default: take_what = 2'd0;
        endcase
        send_what = state == SEND_WEIGHTS ? 2'd0 : state == SEND_BIASES ? 2'd1 : 2'd2;
        send_to = state == FRAME_BELOW ? 2'd1 : state == FRAME_ABOVE ? 2'd2 : 2'd0;
    end

    always_ff @(posedge clk) begin
        state <= next;
        waited <= enter ? '0 : waited + 32'd1;
        seed_entry <= seed_entry + EW'(1);
        if (step_done) step <= step + 16'd1;
        if (phase_begins) {phase, step} <= {phase + 2'd1, 16'd0};
        stirred <= !step_done && (stirred || changes);
        if (step_done)
            resting <= !stirred && !changes && (TAKES_INPUT != 0 || below_heard) && (HAS_ABOVE == 0 || above_heard);
        if (closes) closing <= 1'b1;
        if (stop && phase_runs) stopping <= asynchronous;
        if (phase_begins || state == IDLE) {closing, stopping, resting} <= '0;
        if (busy) cycles <= cycles + 32'd1;
        if (state == DRIVE || state == DRIVE_DRAIN) static_cycles <= static_cycles + 32'd1;
        if (state == STEP_SUMS || state == STEP_MOVE || state == STEP_GAP) settle_cycles <= settle_cycles + 32'd1;
        if (state == STEP_SUMS) busy_cycles <= busy_cycles + 32'd1;
        if (state == FINISH) begin
            done <= 1'b1;
            if (operation == 2'd3) jobs <= jobs + 32'd1;
        end
        if (state == IDLE && start) begin
            {done, error, error_at} <= {refuse, refuse, 21'd0};
            {cycles, static_cycles, settle_cycles, busy_cycles, phase, step} <= '0;
        end
        if (fail) {done, error, error_at} <= {2'b11, what, link, phase, closing ? CLOSING : step};
        if (rst) begin
            state <= SEED;
            {seed_entry, done, error, error_at, jobs} <= '0;
            {closing, stopping, stirred, resting} <= '0;
            {cycles, static_cycles, settle_cycles, busy_cycles, phase, step} <= '0;
        end
    end
endmodule
