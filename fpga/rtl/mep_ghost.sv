// The end of a link: takes a neighbour's frames in their order and keeps the states of the last two. Memory `one` holds
// those of the free and the plus phase, memory `two` those of the minus phase; an even frame is on page 0.
//
// Asynchronous: a frame is taken to the page that is not shown, and shown when it is whole and no step is being made.
// Until then further ones are dropped, but for a closing frame, which waits on the link; so does everything behind a
// closing frame until the node begins its next phase. Frames of another job or phase are dropped. Shown are rest
// before a job's first frame, and the plus phase's last frame before the first of the minus phase.
module mep_ghost #(
    parameter int P  = 4,
    parameter int LW = 2,
    parameter int SB = 16,
    parameter int NW = 8,    // bits of a word's index here
    parameter int UNITS = 4, // of the neighbour's layer
    parameter bit [SB-1:0] REST = '0  // of the same
) (
    input  logic            clk,
    input  logic            rst,
    input  logic            begin_job,
    input  logic            nudge,        // the job has three phases
    input  logic [13:0]     job,
    input  logic [15:0]     free_steps,
    input  logic [15:0]     nudged_steps,
    output logic [1:0]      phase,        // of the frame that comes next; 3: none comes in this job
    output logic [15:0]     frame,
    output logic            bad,          // another header came instead
    input  logic            asynchronous,
    input  logic            hold,         // a step is being made
    input  logic            phase_begins,
    input  logic [1:0]      own_phase,    // of the node
    output logic            heard,        // a frame of this phase is shown
    input  logic            s_valid,
    output logic            s_ready,
    input  logic [31:0]     s_data,
    input  logic            s_last,
    input  logic            page,
    input  logic [NW-1:0]   word,
    output logic [P*SB-1:0] word_one,
    output logic [P*SB-1:0] word_two
);
    localparam int WORDS = (UNITS + P - 1) / P;
    localparam int GW = WORDS > 1 ? $clog2(WORDS) : 1;
    logic collecting, done, write, take;
    logic [GW-1:0] index;
    logic [P*SB-1:0] taken;
    logic write_two, write_page;
    logic [P*SB-1:0] memory_one[0:(2<<GW)-1];
    logic [P*SB-1:0] memory_two[0:(2<<GW)-1];
    logic skipping, closing, fresh, shown_one, shown_two, rests_one, rests_two;
    wire closes = s_data[15:0] == 16'hFFFF;
    wire waits = asynchronous && (phase != own_phase || fresh && closes);
    wire heading = !collecting && !skipping && phase != 2'd3 && !waits && s_valid;
    wire expected = asynchronous ? s_data[31:16] == {job, phase} && !fresh : s_data == {job, phase, frame};
    wire last_frame = asynchronous ? closing : frame == (phase == 2'd0 ? free_steps : nudged_steps);
    wire show = asynchronous && fresh && !hold;
    assign s_ready = collecting ? take : skipping || phase != 2'd3 && !waits && !bad;
    mep_collect #(.P(P), .LW(LW), .VB(SB), .IW(GW)) collect (
        .clk, .rst, .begin_block(heading && expected && !bad), .values(32'(UNITS)), .active(collecting), .done,
        .s_valid(s_valid && collecting), .s_ready(take), .s_data, .write, .index, .word(taken)
    );
    always_ff @(posedge clk) begin
        if (heading && !expected && !asynchronous || collecting && s_valid && s_last != done) bad <= 1'b1;
        if (heading) begin
            write_two <= phase == 2'd2;
            write_page <= !asynchronous ? frame[0] : phase == 2'd2 ? !shown_two : !shown_one;
            closing <= closes;
        end
        if (heading && asynchronous && !expected && !bad && !s_last) skipping <= 1'b1;
        if (skipping && s_valid && s_last) skipping <= 1'b0;
        if (show) begin
            {fresh, heard} <= 2'b01;
            if (write_two) {shown_two, rests_two} <= {!shown_two, 1'b0};
            else {shown_one, rests_one} <= {!shown_one, 1'b0};
        end
        if (phase_begins) heard <= 1'b0;
        if (done) begin
            fresh <= asynchronous;
            frame <= last_frame ? '0 : frame + 16'd1;
            if (last_frame) phase <= nudge && phase != 2'd2 ? phase + 2'd1 : 2'd3;
        end
        if (begin_job) {phase, frame, fresh, heard, rests_one, rests_two} <= {18'd0, 2'b00, 2'b11};
        if (write && !write_two) memory_one[{write_page, index}] <= taken;
        if (write && write_two) memory_two[{write_page, index}] <= taken;
        if (rst) begin
            {phase, bad} <= 3'b110;
            {skipping, closing, fresh, heard, shown_one, shown_two, rests_one, rests_two} <= '0;
        end
    end
    wire [P*SB-1:0] held_one = memory_one[{asynchronous ? shown_one : page, GW'(word)}];
    wire [P*SB-1:0] held_two = memory_two[{asynchronous ? shown_two : page, GW'(word)}];
    assign word_one = asynchronous && rests_one ? {P{REST}} : held_one;
    assign word_two = asynchronous && rests_two ? word_one : held_two;
    wire unused = &{1'b0, word};
endmodule
