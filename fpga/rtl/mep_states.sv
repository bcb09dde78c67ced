// States of the own layers, input and target, read at once and registered.
// Memory `one` has two pages: the free phase (0) and the plus phase (1); memory `two` is the minus phase.
module mep_states #(
`include "mep_config.svh"
) (
    input  logic            clk,
    // read: a word of a layer, and one unit of the layer above it
    input  logic            below,      // the word is of layer 0: input, or what was heard from below
    input  logic            above,      // the unit is of layer M + 1: what was heard from above
    input  logic            page,       // of memory one
    input  logic            two,        // read memory two as if it were one
    input  logic            heard_two,  // the same for what was heard
    input  logic [SW-1:0]   word_address,
    input  logic [SW-1:0]   unit_address,
    input  logic [NW-1:0]   word,       // of the input, or of the target
    input  logic [LW-1:0]   unit_lane,
    input  logic [P*SB-1:0] below_one,  // what was heard, by page and word as the operation asks for it
    input  logic [P*SB-1:0] below_two,
    input  logic [P*SB-1:0] above_one,
    input  logic [P*SB-1:0] above_two,
    output logic [P*SB-1:0] word_a,     // a cycle later: of the phase, or of the plus phase in an update
    output logic [P*SB-1:0] word_b,     // of the minus phase
    output logic [SB-1:0]   unit_a,
    output logic [SB-1:0]   unit_b,
    output logic [P*(SB+1)-1:0] error,  // target - state
    // write
    input  logic            write,
    input  logic            write_two,
    input  logic            write_page,
    input  logic [SW-1:0]   write_address,
    input  logic [P*SB-1:0] write_word,
    input  logic            write_input,
    input  logic            write_target,
    input  logic [NW-1:0]   taken_index,
    input  logic [P*SB-1:0] taken
);
    logic [P*SB-1:0] memory_one[0:(2<<SW)-1];
    logic [P*SB-1:0] memory_two[0:STATE_WORDS-1];
    always_ff @(posedge clk) begin
        if (write && !write_two) memory_one[{write_page, write_address}] <= write_word;
        if (write && write_two) memory_two[write_address] <= write_word;
    end

    logic [P*SB-1:0] input_word, target_word;
    if (TAKES_INPUT != 0) begin : has_input
        logic [P*SB-1:0] memory[0:INPUT_WORDS-1];
        always_ff @(posedge clk) if (write_input) memory[IW'(taken_index)] <= taken;
        assign input_word = memory[IW'(word)];
    end else begin : no_input
        assign input_word = '0;
    end
    if (HAS_READOUT != 0) begin : has_target
        logic [P*SB-1:0] memory[0:TARGET_WORDS-1];
        always_ff @(posedge clk) if (write_target) memory[YW'(taken_index)] <= taken;
        assign target_word = memory[YW'(word)];
    end else begin : no_target
        assign target_word = '0;
    end

    wire [P*SB-1:0] own_one = memory_one[{page, word_address}];
    wire [P*SB-1:0] own_two = memory_two[word_address];
    wire [P*SB-1:0] unit_one = memory_one[{page, unit_address}];
    wire [P*SB-1:0] unit_two = memory_two[unit_address];
    wire [P*SB-1:0] own = two ? own_two : own_one;
    logic [P*SB-1:0] low_one, low_two, high_one, high_two;
    always_comb begin
        low_one = !below ? own : TAKES_INPUT != 0 ? input_word : heard_two ? below_two : below_one;
        low_two = !below ? own_two : TAKES_INPUT != 0 ? input_word : below_two;
        high_one = !above ? (two ? unit_two : unit_one) : heard_two ? above_two : above_one;
        high_two = !above ? unit_two : above_two;
    end
    always_ff @(posedge clk) begin
        word_a <= low_one;
        word_b <= low_two;
        unit_a <= high_one[SB*unit_lane+:SB];
        unit_b <= high_two[SB*unit_lane+:SB];
        for (int p = 0; p < P; p++)
            error[(SB+1)*p+:SB+1] <= (SB+1)'($signed(target_word[SB*p+:SB])) - (SB+1)'($signed(own[SB*p+:SB]));
    end
    wire unused = &{1'b0, write_input, write_target, taken_index, taken, word};
endmodule
